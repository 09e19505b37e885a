"""The demo that `bailiwick run` starts: a small API of users, posts and items, and its authority.

It is an application like any other: it uses the public doors only, and is a fair place to copy from.
"""
