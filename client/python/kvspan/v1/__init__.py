"""Messages of kvspan.v1, written by generate.py."""
