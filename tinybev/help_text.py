"""How ``--help`` tells defaults."""

from __future__ import annotations

import argparse


class HelpWithDefaults(argparse.ArgumentDefaultsHelpFormatter):
    """Tells the default of an option, unless there is none to tell or its help speaks of it already."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        nothing_to_tell = action.required or action.default is None or action.default in ("", [])
        if nothing_to_tell or "default" in (action.help or "").lower():
            return action.help
        return super()._get_help_string(action)
