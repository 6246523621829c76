"""The server: collects what people do and puts it into the lake."""
