"""Step 1: iterators and `yield`, a function that can stop halfway.

`iter` makes an iterator of a list, and `next` takes one value from it. A function with `yield` in
it gives a generator, an iterator too: each `next` runs the function as far as its next `yield`,
where it stops, keeps its place and its variables, and hands one value out.

Run     python examples/tour/step1_iterators.py
Prints  1
        2
        started
        5
        went on
        2
        3
"""

from collections.abc import Iterator


def numbers() -> Iterator[int]:
    print("started")  # not when it is called, but at the first next()
    yield 5
    print("went on")
    yield 2
    yield 3


def main() -> None:
    items = iter([1, 2, 3, 4])
    print(next(items))
    print(next(items))

    generator = numbers()
    print(next(generator))
    for number in generator:  # `for` calls next() until the function returns
        print(number)


if __name__ == "__main__":
    main()
