"""Seeded fuzzers for every parser of files from outside: `python -m tests.fuzz --cases N --seed S`.

A case is a small valid file, damaged. It may be read, or refused with one of the program's own errors; anything else is
a failure: another exception, a crash, no end, a file touched outside the case's own folder.
"""
