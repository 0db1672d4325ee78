class CommandError(Exception):
    """The reason why a command cannot continue: one sentence for its user. Commands print it without a traceback.

    `details`: lines of a log that explain more, printed before the sentence. A failed test shows them too.
    """

    def __init__(self, sentence: str, details: str = "") -> None:
        super().__init__(sentence)
        self.details = details
        if details:
            self.add_note(details)
