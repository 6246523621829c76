"""Message templates: what is put into them, how they are checked, and how they become messages."""
