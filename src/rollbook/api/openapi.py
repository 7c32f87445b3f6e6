"""The OpenAPI 3.1 document, made of the route table and the Structs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import rollbook
from rollbook.api.edge import Route


def document(routes: Sequence[Route]) -> dict[str, Any]:
    return {"openapi": "3.1.0", "info": {"title": "rollbook", "version": rollbook.__version__}, "paths": {}}
