"""pika and kombu against RabbitMQ, paho-mqtt against Mosquitto."""

from .conftest import need


def test_pika_ten_consumers_at_once(rabbitmq, program):
    need("pika")
    code = """
        import os, sys
        import pika
        from at_once import all_held
        exchange = f"greenroom-pika-{os.getpid()}"
        def connect():
            return pika.BlockingConnection(pika.URLParameters(sys.argv[1]))
        here = []
        def work(number):
            connection = connect()
            channel = connection.channel()
            queue = channel.queue_declare("", exclusive=True).method.queue
            channel.queue_bind(queue, exchange)
            here.append(number)
            for method, _, body in channel.consume(queue, inactivity_timeout=20):
                channel.basic_ack(method.delivery_tag)
                break
            channel.cancel()
            connection.close()
            return body
        connection = connect()
        channel = connection.channel()
        channel.exchange_declare(exchange, "fanout", auto_delete=True)
        def release():
            channel.basic_publish(exchange, "", b"hello")
        assert all_held(work, lambda: len(here), release) == [b"hello"] * 10
        connection.close()
    """
    program(code, rabbitmq)


def test_pika_ten_quiet_consumers_take_as_long_as_one(rabbitmq, program):
    need("pika")
    code = """
        import sys
        import pika
        from at_once import at_once
        def work(number):
            connection = pika.BlockingConnection(pika.URLParameters(sys.argv[1]))
            channel = connection.channel()
            queue = channel.queue_declare("", exclusive=True).method.queue
            found = next(channel.consume(queue, inactivity_timeout=0.5))
            connection.close()
            return found
        assert at_once(work, 0.5) == [(None, None, None)] * 10
    """
    program(code, rabbitmq)


def test_pika_errors_and_a_kill(rabbitmq, script):
    need("pika")
    code = """
        import greenroom
        greenroom.patch_all()
        import sys
        import pika
        def connect():
            return pika.BlockingConnection(pika.URLParameters(sys.argv[1]))
        connection = connect()
        channel = connection.channel()
        queue = channel.queue_declare("", exclusive=True).method.queue
        def work():
            for _ in channel.consume(queue):
                pass
        task = greenroom.spawn(work)
        greenroom.sleep(0.2)
        task.kill()
        assert task.join(5)
        print(type(task.exception).__name__)
        connection.close()
        print(connection.is_closed)
        try:
            with greenroom.timeout(20):
                next(connect().channel().consume("amq.rabbitmq.no.such", inactivity_timeout=20))
        except pika.exceptions.ChannelClosedByBroker as error:
            print("closed", error.reply_code)
    """
    assert script(code, rabbitmq) == ["TaskKilled", "True", "closed 404"]


def test_kombu_ten_consumers_at_once(rabbitmq, program):
    need("kombu")
    code = """
        import os, sys
        import kombu
        from at_once import all_held, at_once
        exchange = kombu.Exchange(f"greenroom-kombu-{os.getpid()}", "fanout", durable=False)
        here = []
        def work(number):
            with kombu.Connection(sys.argv[1], heartbeat=5) as connection:
                queue = kombu.Queue(f"{exchange.name}-{number}", exchange, exclusive=True)
                got = []
                def on_message(body, message):
                    got.append(body)
                    message.ack()
                with connection.Consumer(queue, callbacks=[on_message]):
                    here.append(number)
                    connection.drain_events(timeout=20)
                return got
        with kombu.Connection(sys.argv[1]) as connection:
            def release():
                connection.Producer().publish({"say": "hello"}, exchange=exchange)
            exchange(connection).declare()
            assert all_held(work, lambda: len(here), release) == [[{"say": "hello"}]] * 10
            exchange(connection).delete()

        def quiet(number):
            with kombu.Connection(sys.argv[1]) as connection:
                queue = kombu.Queue(f"{exchange.name}-quiet-{number}", exclusive=True)
                with connection.Consumer(queue):
                    try:
                        connection.drain_events(timeout=0.5)
                    except TimeoutError:
                        return "quiet"
        assert at_once(quiet, 0.5) == ["quiet"] * 10
    """
    program(code, rabbitmq)


def test_kombu_connection_and_producer_pools(rabbitmq, program):
    need("kombu")
    code = """
        import os, sys
        from concurrent.futures import ThreadPoolExecutor
        import kombu
        from kombu.pools import connections, producers
        kombu.pools.set_limit(3)
        url = kombu.Connection(sys.argv[1])
        name = f"greenroom-pool-{os.getpid()}"
        def send(number):
            with producers[url].acquire(block=True, timeout=20) as producer:
                producer.publish(number, routing_key=name)
        with url.clone() as connection:
            queue = connection.SimpleQueue(name, queue_opts={"auto_delete": True})
            with ThreadPoolExecutor(10) as ten:
                list(ten.map(send, range(30)))
            got = set()
            while len(got) < 30:
                message = queue.get(timeout=20)
                got.add(message.payload)
                message.ack()
            queue.close()
        print(sorted(got) == list(range(30)))
        kombu.pools.reset()
    """
    assert program(code, rabbitmq) == ["True"]


def test_paho_ten_subscribers_at_once(mosquitto, program):
    need("paho")
    code = """
        import os, queue, sys
        from urllib.parse import urlsplit
        from paho.mqtt import client as mqtt
        from at_once import all_held
        url = urlsplit(sys.argv[1])
        topic = f"greenroom/{os.getpid()}"
        here = []
        def connect(**handlers):
            client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
            for name, handler in handlers.items():
                setattr(client, name, handler)
            client.connect(url.hostname, url.port)
            client.loop_start()
            return client
        def work(number):
            got = queue.Queue()
            client = connect(
                on_connect=lambda client, *rest: client.subscribe(topic, qos=1),
                on_subscribe=lambda *rest: here.append(number),
                on_message=lambda client, data, message: got.put(message.payload),
            )
            try:
                return got.get(timeout=20)
            finally:
                client.disconnect()
                client.loop_stop()
        sender = connect()
        def release():
            sender.publish(topic, "hello", qos=1).wait_for_publish(20)
        assert all_held(work, lambda: len(here), release) == [b"hello"] * 10
        sender.disconnect()
        sender.loop_stop()
    """
    program(code, mosquitto)


def test_paho_loop_forever_and_a_kill(mosquitto, script):
    need("paho")
    code = """
        import greenroom
        greenroom.patch_all()
        import sys
        from urllib.parse import urlsplit
        from paho.mqtt import client as mqtt
        url = urlsplit(sys.argv[1])
        connected = greenroom.Event()
        def work(client):
            client.connect(url.hostname, url.port)
            client.loop_forever()
        client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        client.on_connect = lambda *rest: connected.set()
        task = greenroom.spawn(work, client)
        assert connected.wait(10)
        client.disconnect()
        print(task.result(10))
        connected.clear()
        task = greenroom.spawn(work, client)
        assert connected.wait(10)
        task.kill()
        assert task.join(5)
        print(type(task.exception).__name__)
    """
    assert script(code, mosquitto) == ["None", "TaskKilled"]
