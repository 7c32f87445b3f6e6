"""The processes of the service: the server, its workers, and their background work."""
