"""Imports: a file of contacts, of any size, into the book, a list or the stop list.

`jobs` is what was asked for and how far it is; `stage` reads the file, checks every row and sorts what is
good by phone; `merge` brings a chunk of that into the book in one exact transaction; `journal` remembers what
each chunk did, so that `undo` can take it back; `work` does all of it, step by step, and goes on where it was
killed.
"""
