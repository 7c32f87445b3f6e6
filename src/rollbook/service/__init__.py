"""The processes that serve: the server, the workers beside it, and what they do by themselves."""
