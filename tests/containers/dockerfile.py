"""A Dockerfile's base images, read from its text."""

from __future__ import annotations

import re


def base_images(text: str) -> dict[str, str]:
    """The images that a Dockerfile builds on, by the name of their stage.

    The last stage, which has no name, has the name "". Build arguments have their defaults.
    """
    defaults = dict(re.findall(r"^ARG (\w+)=(\S+)$", text, re.M))
    images = {}
    for image, stage in re.findall(r"^FROM (\S+)(?: AS (\S+))?$", text, re.M):
        for name, value in defaults.items():
            image = image.replace(f"${{{name}}}", value)
        images[stage] = image
    return images


def copied(text: str) -> list[str]:
    """The paths of the repository that a Dockerfile copies into its image."""
    joined = text.replace("\\\n", " ")
    found = [words.split() for words in re.findall(r"^COPY (?!--from)(.+)$", joined, re.M)]
    return [source for words in found for source in words[:-1]]
