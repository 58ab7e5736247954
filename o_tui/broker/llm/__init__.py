"""Language models: what a chat is, how it is sent, what can go wrong on the way."""
