import random

from django_director import task


# quickstart.md, commands/init.py
@task(name="EXTRACT")
def extract(*args, **kwargs):
    print("Extracting data")


@task(name="TRANSFORM")
def transform(*args, **kwargs):
    print("Transforming data")


@task(name="LOAD")
def load(*args, **kwargs):
    print("Loading data")


@task(name="RANDOM")
def generate_random(*args, **kwargs):
    payload = kwargs["payload"]
    return random.randint(payload.get("start", 0), payload.get("end", 10))


@task(name="ADD")
def add_randoms(*args, **kwargs):
    return sum(args[0])


# write-tasks.md
@task(name="A")
def a(*args, **kwargs):
    return {"result": "a_data"}


@task(name="B")
def b(*args, **kwargs):
    return {"result": "b_data"}


@task(name="C")
def c(*args, **kwargs):
    print(args)


@task(bind=True, name="BOUND_TASK")
def bound_task(self, *args, **kwargs):
    print(self.name)


# trigger-hooks.md
@task(name="ERROR_HANDLER")
def error_handler(*args, **kwargs):
    print("I'm executed because the workflow failed")


@task(name="SUCCESS_HANDLER")
def success_handler(*args, **kwargs):
    print("I'm executed because the workflow succeeded")


# error-tracking.md
@task(name="WORKING_TASK")
def working_task(*args, **kwargs):
    return {"hello": "world"}


@task(name="ERROR_TASK")
def error_task(*args, **kwargs):
    print(1 / 0)


# use-payload.md, with stand-ins for what it does not show
class Order:
    id = 1234

    def __init__(self, user, product):
        self.user, self.product = user, product

    def save(self):
        return self


class Mail:
    def __init__(self, title, user):
        self.title, self.user = title, user

    def send(self):
        print(f"Mail to {self.user}: {self.title}")


def update_all_users():
    return "all users"


def update_user(user):
    return f"user {user}"


@task(name="ORDER_PRODUCT")
def order_product(*args, **kwargs):
    order = Order(
      user=kwargs["payload"]["user"],
      product=kwargs["payload"]["product"]
    ).save()
    return {"id": order.id}


@task(name="SEND_MAIL")
def send_mail(*args, **kwargs):
    order_id = args[0]["id"]
    mail = Mail(
      title=f"Your order #{order_id} has been received",
      user=kwargs["payload"]["user"]
    )
    mail.send()


@task(name="UPDATE_CACHE")
def update_cache(*args, **kwargs):
    user = kwargs["payload"]["user"]

    if not user:
        return update_all_users()
    return update_user(user)
