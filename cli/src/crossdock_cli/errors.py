class CommandError(Exception):
    """Why a command cannot go on, as one sentence for the person who typed it. No command shows a traceback with it.

    `details`: lines of a log that say more, printed before the sentence. A failed test shows them too.
    """

    def __init__(self, sentence: str, details: str = "") -> None:
        super().__init__(sentence)
        self.details = details
        if details:
            self.add_note(details)
