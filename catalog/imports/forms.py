"""The forms of an import: the file, how it is written, and which column is which field."""

from typing import Any

from django import forms

from catalog.imports import fields, reading
from catalog.imports.models import Import


class UploadForm(forms.Form):
    file = forms.FileField(
        label="File",
        help_text=f"CSV or Excel (.xlsx), with a heading, at most {reading.MOST_ROWS:,} rows.",
        widget=forms.FileInput({"accept": ".csv,.tsv,.txt,.xlsx"}),
        error_messages={"required": "Choose a file.", "empty": "The file is empty.", "missing": "Choose a file."},
    )


class TextForm(forms.Form):
    """How to read a CSV file again, if the sample looks wrong."""

    encoding = forms.ChoiceField(choices=list(reading.ENCODINGS.items()))
    separator = forms.ChoiceField(choices=list(reading.SEPARATORS.items()))


class ColumnsForm(forms.Form):
    """A column for each field, and how numbers and dates are written."""

    decimal = forms.ChoiceField(label="Numbers", choices=list(fields.DECIMALS.items()))
    dates = forms.ChoiceField(label="Dates", choices=[("dmy", "31/12/2026"), ("mdy", "12/31/2026")])

    def __init__(self, found: Import, data: Any = None) -> None:
        super().__init__(data, initial=found.options | found.columns)
        choices = [("", "not in the file")]
        choices += [
            (str(number), text or f"column {number + 1}") for number, text in enumerate(found.options["heading"])
        ]
        for name, field in fields.FIELDS.items():
            self.fields[name] = forms.TypedChoiceField(
                label=field.label, choices=choices, coerce=int, empty_value=None, required=name == "slug",
                error_messages={"required": "Choose the column of the slugs: they say which product a row is."},
            )  # fmt: skip

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        by_column: dict[int, str] = {}
        for name, column in self.columns().items():
            if column in by_column:
                self.add_error(name, f"“{fields.FIELDS[by_column[column]].label}” has this column already.")
            by_column.setdefault(column, name)
        return cleaned

    def columns(self) -> dict[str, int]:
        """The chosen columns by field."""
        return {name: self.cleaned_data[name] for name in fields.FIELDS if self.cleaned_data.get(name) is not None}
