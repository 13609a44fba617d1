"""What is raised where one seed gives no scene; another seed may."""

from __future__ import annotations

from tinybev.errors import UserError


class NoSceneError(UserError):
    """Traffic is drawn, and what was drawn is no scene to train on."""
