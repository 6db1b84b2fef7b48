"""Write the frozen OpenAPI document: ``python scripts/write_openapi.py``.

Run it only for intended changes of the API; the diff of the file shows them.
"""

from __future__ import annotations

import json
from pathlib import Path

from app.core.settings import Settings
from app.main import create_app

TARGET = Path(__file__).resolve().parents[1] / "tests" / "contract" / "openapi.json"


def main() -> None:
    document = create_app(Settings(log_level="error")).openapi()
    TARGET.write_text(json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
