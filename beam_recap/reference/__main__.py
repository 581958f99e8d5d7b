"""Writes ``options.md`` and ``reasons.md`` into a folder."""

import sys
from pathlib import Path

from beam_recap.reference import options_page, reasons_page

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    (folder / "options.md").write_text(options_page())
    (folder / "reasons.md").write_text(reasons_page())
