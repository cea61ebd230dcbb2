"""Step 2: `send`, a value into a function that waits.

`yield` also works the other way: alone on the right of `=`, it waits until the caller hands a value
in with `send`. The first `next` only runs the function as far as its first `yield`, so that it is
ready to receive. Whatever `yield` gives out next is what `send` returns.

Run     python examples/tour/step2_send.py
Prints  received 123
        received abc
        total 5
        total 12
"""

from collections.abc import Generator


def printer() -> Generator[None, str, None]:
    while True:
        value = yield
        print("received", value)


def adder() -> Generator[int, int, None]:
    total = 0
    while True:
        total += yield total


def main() -> None:
    waiting = printer()
    next(waiting)
    waiting.send("123")
    waiting.send("abc")

    adding = adder()
    next(adding)
    print("total", adding.send(5))
    print("total", adding.send(7))


if __name__ == "__main__":
    main()
