class Refused(Exception):
    """Why a command cannot go on, as one sentence for the person who typed it. Never shown with a traceback.

    `details`: lines of a log that say more, printed before the sentence.
    """

    def __init__(self, sentence: str, details: str = "") -> None:
        super().__init__(sentence)
        self.details = details
