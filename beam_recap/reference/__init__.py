"""Pages of ``docs/`` that are made from the code: every flag, and every reason.

``python -m beam_recap.reference docs`` (``make reference``) writes them anew; a test compares.
"""

from beam_recap.reference.options_page import options_page
from beam_recap.reference.reasons_page import reasons_page

__all__ = ["options_page", "reasons_page"]
