"""The one error that is meant for the person at the keyboard."""


class UserError(Exception):
    """Something outside the program is not as it must be.

    The message is one clear sentence: what was expected, what came, and what to do. Commands print it and end with
    status 2; the node logs it and refuses the transition. Anything else that is raised is a defect of ours.
    """
