"""What an import did, or would do."""

from pydantic import BaseModel

from inventory_service.imports.model import ImportKind


class ImportResult(BaseModel):
    """`rows` = `created` + `changed` + `unchanged`. With `dry_run` nothing was kept."""

    kind: ImportKind
    dry_run: bool
    rows: int
    created: int
    changed: int
    unchanged: int


class Upload(BaseModel):
    """What an idempotency key is held against: the file by its digest."""

    kind: ImportKind
    sha256: str
    reference: str


class RowErrorView(BaseModel):
    """`row` as a spreadsheet counts: the header is row 1. `column` null: all of the row."""

    row: int
    column: str | None
    detail: str


class ImportProblem(BaseModel):
    """`errors` has the first hundred of those that are `wrong`."""

    type: str
    title: str
    status: int
    detail: str
    rows: int
    wrong: int
    errors: list[RowErrorView]
