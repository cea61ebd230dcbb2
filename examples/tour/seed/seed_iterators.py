"""The seed's own text (二、回顾迭代器), typing slips mended and nothing else.

Mended  the stray space before one `print`, which was an IndentationError.
Run     python examples/tour/seed/seed_iterators.py
Prints  1
        5
        123
See     step1_iterators.py and step2_send.py
"""
# ruff: noqa
# fmt: off

li = [1,2,3,4]
li1 = iter(li)#生成迭代器对象
print(next(li1))
#yield:如果函数里有yield关键字，那么执行这个函数返回的生成器对象（迭代）
def fun():
    yield 5
    yield 2
    yield 3
res = fun()
print(next(res))
#生成器 generator 新用法 yield 可以单独进行使用
#实现信息的传递输入与输出
#debug 需要打断点F7查看下一步
def func():
    while True:
        y = yield	#yield可以单独使用，等待传入的数据
        print(y)
res = func()
next(res)	#执行func函数，遇到yield暂停预激活
res.send('123')
