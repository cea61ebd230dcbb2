"""The seed's own text (三、用yield实现轮询切换), unchanged.

Run     python examples/tour/seed/seed_yield.py                             (40 s)
Prints  发送了数据： 0
        处理了数据： 0
        ...
        发送了数据： 19
        处理了数据： 19
See     step3_yield_producer_consumer.py
"""
# ruff: noqa
# fmt: off

from time import sleep

def consumer():
    while True:
        x = yield
        sleep(2)
        print('处理了数据：',x)

def producer():
    g = consumer()
    next(g)
    for i in range(20):
        print('发送了数据：',i)
        g.send(i)

producer()
