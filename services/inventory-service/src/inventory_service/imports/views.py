"""The result of an import or of a dry run."""

from pydantic import BaseModel

from inventory_service.imports.model import ImportKind


class ImportResult(BaseModel):
    """`rows` = `created` + `changed` + `unchanged`. A dry run imports nothing."""

    kind: ImportKind
    dry_run: bool
    rows: int
    created: int
    changed: int
    unchanged: int


class Upload(BaseModel):
    """The request that an idempotency key is compared with. The digest stands for the file."""

    kind: ImportKind
    sha256: str
    reference: str


class RowErrorView(BaseModel):
    """`row` counts as a spreadsheet does: the header is row 1. `column` is null for an error of the whole row."""

    row: int
    column: str | None
    detail: str


class ImportProblem(BaseModel):
    """`wrong` counts the rows with errors, the header included; `errors` has the first hundred errors."""

    type: str
    title: str
    status: int
    detail: str
    rows: int
    wrong: int
    errors: list[RowErrorView]
