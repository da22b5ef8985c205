"""The fuzzer's check of our own: the document says what the door demands. schemathesis.toml names this module."""

import schemathesis

WITHOUT_WORDS = (  # what JSON Schema can't say
    "Each product may have one line only: add up its quantities.",
    "Send a whole number.",  # 3.0 is one in JSON Schema, and not in the API
)


@schemathesis.check
def valid_by_the_document(ctx, response, case) -> None:
    """An order that is valid by the document is not refused as invalid."""
    if not (case.meta and case.meta.generation.mode.is_positive and response.status_code == 422):
        return
    problem = response.json()
    wrong = [error for error in problem.get("errors", []) if error["detail"] not in WITHOUT_WORDS]
    assert not wrong, f"valid by the document, and refused: {wrong}"
