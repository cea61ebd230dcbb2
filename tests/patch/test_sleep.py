"""time.sleep parks the task, with the standard library's errors."""

import time

import pytest

from .children import output_of


def test_ten_threads_that_sleep_one_second_take_one_second_together():
    code = """
        import greenroom
        greenroom.patch_all()
        from greenroom.testing.clock import VirtualClock
        import threading, time
        with VirtualClock() as clock:
            def work(number):
                print("starts", number)
                time.sleep(1)
                print("ends", number, clock.now())
            threads = [threading.Thread(target=work, args=(number,)) for number in range(10)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            print(clock.now())
    """
    starts = [f"starts {number}" for number in range(10)]
    ends = [f"ends {number} 1.0" for number in range(10)]
    assert output_of(code) == [*starts, *ends, "1.0"]


def test_sleep_zero_lets_the_others_run():
    code = """
        import greenroom, time
        greenroom.patch_all()
        greenroom.spawn(print, "other")
        time.sleep(0)
        print("main")
    """
    assert output_of(code) == ["other", "main"]


@pytest.mark.parametrize("argument", ["'1'", "None", "-1", "float('nan')", "1e300", "1j"])
def test_a_wrong_length_raises_what_the_standard_library_raises(argument):
    with pytest.raises(Exception) as caught:  # any; it is compared below
        time.sleep(eval(argument))
    code = f"""
        import greenroom, time
        greenroom.patch_all()
        try:
            time.sleep({argument})
        except Exception as error:
            print(type(error).__name__, error)
    """
    expected = f"{type(caught.value).__name__} {caught.value}"
    (line,) = output_of(code)
    # 3.13 dropped a word of two of these; the type is what programs catch.
    assert line.split()[0] == expected.split()[0]


@pytest.mark.parametrize("length", ["0.001", "True", "Fraction(1, 1000)", "Decimal('0.001')"])
def test_any_real_number_will_do(length):
    code = f"""
        import greenroom, time
        from decimal import Decimal
        from fractions import Fraction
        greenroom.patch_all()
        from greenroom.testing.clock import VirtualClock
        with VirtualClock() as clock:
            time.sleep({length})
            print(clock.now() == float({length}))
    """
    assert output_of(code) == ["True"]
