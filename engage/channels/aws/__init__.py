"""What Amazon's services have in common: signed requests and signed notifications."""
