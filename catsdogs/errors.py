"""The exception for problems that a user can cause and fix."""


class UserError(Exception):
    """An invalid setting, image folder or file, or a machine that lacks something.

    The message is one line (a few where it lists alternatives) of the form
    `setting=value: what is wrong; what to do`. A command prints it without a traceback and exits
    with status 2.
    """
