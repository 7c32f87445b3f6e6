"""The HTTP API: reads requests, calls the core, writes answers. The rules themselves are in the core."""
