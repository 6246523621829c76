"""Messages that wait in the mailbox until the app or page fetches them: in-app, inbox, pop-up, exit intent."""
