"""The front door: what notebooks and the command line call. ``thirtytwo/__init__.pyi`` lists what is public."""
