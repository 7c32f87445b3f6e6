"""The statements that the tests run on PostgreSQL: each stays with one account."""
