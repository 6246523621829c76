"""Facebook custom audiences (Meta's Marketing API)."""
