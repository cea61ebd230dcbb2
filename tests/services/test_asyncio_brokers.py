"""aio-pika beside pika at RabbitMQ, and nats-py at NATS, all in one thread."""

from .conftest import need


def test_rabbitmq_ten_consumers_of_three_kinds_wait_together(rabbitmq, program):
    need("aio_pika", "pika")
    code = """
    import asyncio, os, sys
    import aio_pika, pika
    from together import all_held
    url, exchange = sys.argv[1], f"greenroom-aio-{os.getpid()}"
    here = []
    def blocking():
        connection = pika.BlockingConnection(pika.URLParameters(url))
        channel = connection.channel()
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.queue_bind(queue, exchange)
        here.append("blocking")
        method, _, body = next(channel.consume(queue, inactivity_timeout=20))
        channel.basic_ack(method.delivery_tag)
        connection.close()
        return body
    async def blocking_in_a_coroutine():
        return blocking()
    async def waits():
        async with await aio_pika.connect(url) as connection:
            channel = await connection.channel()
            queue = await channel.declare_queue(exclusive=True)
            await queue.bind(exchange)
            async with queue.iterator() as messages:
                here.append("async")
                async for message in messages:
                    async with message.process():
                        return message.body
    async def main():
        async with await aio_pika.connect(url) as connection:
            channel = await connection.channel()
            fanout = await channel.declare_exchange(exchange, "fanout", auto_delete=True)
            def release():
                with pika.BlockingConnection(pika.URLParameters(url)) as own:
                    own.channel().basic_publish(exchange, "", b"hello")
            works = [blocking, blocking_in_a_coroutine, waits, waits, waits] * 2
            found = await all_held(works, lambda: len(here), release)
            assert found == [b"hello"] * 10, found
    asyncio.run(main())
    """
    program(code, rabbitmq)


def test_nats_requests_are_answered_by_handlers_that_block(nats, program):
    need("nats")
    code = """
    import asyncio, os, sys, threading, time
    import nats
    import greenroom
    subject = f"greenroom.{os.getpid()}"
    async def main():
        here = threading.Barrier(10, timeout=20)
        async with await nats.connect(sys.argv[1]) as client:
            async def answer(message):
                here.wait()  # blocks: ten handlers wait for each other
                await message.respond(message.data.upper())
            for number in range(10):
                await client.subscribe(f"{subject}.{number}", cb=answer)
            async def ask(number):
                return (await client.request(f"{subject}.{number}", b"a", timeout=20)).data
            def ask_in_a_green_thread(number):
                return greenroom.await_(ask(number))
            found = await asyncio.gather(
                *map(ask, range(5)),
                *(greenroom.spawn(ask_in_a_green_thread, number) for number in range(5, 10)),
            )
            print(set(found))
            try:
                await client.request(f"{subject}.nobody", b"", timeout=20)
            except nats.errors.NoRespondersError:
                print("nobody")
    asyncio.run(main())
    """
    assert program(code, nats) == ["{b'A'}", "nobody"]
