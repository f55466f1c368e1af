"""What can be wrong with what somebody asked for: one base, so that a page catches all of it by one name."""


class Refusal(ValueError):
    """This cannot be done; the message is written for the visitor and says what can.

    `knob`: the name of the field at fault, so that a page can say it there; "" if there is none.
    """

    def __init__(self, message: str = "", knob: str = "") -> None:
        super().__init__(message)
        self.knob = knob
