"""What staff send of pictures and clips."""

from typing import Any

from django import forms
from django.conf import settings
from django.core.files.uploadedfile import UploadedFile

from catalog.media import clips
from catalog.media.models import Media

ACCEPTED = "image/jpeg,image/png,image/webp,image/avif,image/gif,video/mp4,video/quicktime,video/webm"
HELP = (
    f"JPEG, PNG, WebP, AVIF or GIF, and MP4, MOV or WebM of up to {clips.LONGEST} seconds. The sound of a clip is left"
    f" out. Together up to {settings.UPLOAD_MAX_SIZE // 1024**2} MB."
)


class FilesInput(forms.FileInput):
    allow_multiple_selected = True


class FilesField(forms.FileField):
    """Several files of one field."""

    widget = FilesInput

    def clean(self, data: Any, initial: Any = None) -> list[UploadedFile]:
        return [super(FilesField, self).clean(one, initial) for one in data or [None]]


class UploadForm(forms.Form):
    chosen: forms.FileField = FilesField(
        label="Pictures and clips",
        help_text=HELP,
        error_messages={"required": "Choose one file or more.", "empty": "A file is empty."},
        widget=FilesInput(attrs={"accept": ACCEPTED}),
    )


class DescriptionForm(forms.ModelForm):
    class Meta:
        model = Media
        fields = ["position", "alt"]
