"""A small web application behind API Gateway: Starlette, adapted to Lambda's events by Mangum."""

from mangum import Mangum
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

ORDERS: dict[int, dict[str, object]] = {7: {"id": 7, "item": "tea", "pieces": 2}}


async def health(request: Request) -> Response:
    return PlainTextResponse("ok")


async def order(request: Request) -> Response:
    found = ORDERS.get(request.path_params["order_id"])
    if found is None:
        return JSONResponse({"error": "no such order"}, status_code=404)
    currency = request.query_params.get("currency", "EUR")
    return JSONResponse({**found, "currency": currency}, headers={"x-served-by": "orders"})


async def place(request: Request) -> Response:
    body = await request.json()
    return JSONResponse({"id": 8, "item": body["item"], "pieces": body.get("pieces", 1)}, status_code=201)


app = Starlette(
    routes=[
        Route("/health", health),
        Route("/orders/{order_id:int}", order),
        Route("/orders", place, methods=["POST"]),
    ]
)
handler = Mangum(app, lifespan="off")
