"""A long run against a live service, with a ledger of what it acknowledged: `make soak MINUTES=10`.

`clerk.py` keeps a book and writes down what was answered; `trouble.py` kills, cuts and dawdles; `quiet.py` measures
how long one account waits while another floods; `__main__.py` runs them and says what was found.
"""
