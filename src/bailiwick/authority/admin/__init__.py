"""What an operator may do. The command line and the console both call this, and nothing else.

Every act is journaled with the operator's name. Secrets are handed out once, when they are made,
and only their digests stay.
"""

from .admin import Admin
from .clients import NewClient
from .contradictions import check_client, check_redirect

__all__ = ["Admin", "NewClient", "check_client", "check_redirect"]
