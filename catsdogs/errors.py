"""What a user can cause and mend, told apart from what only a bug can cause."""


class UserError(Exception):
    """A mistake in a setting, a picture folder, a file or the machine's state.

    The message is one line (a few where it lists ways out) that names the setting, its value and
    the way out. A command prints it without a traceback and exits with status 2.
    """
