"""A language model: it is asked something, answers in a schema, and tells what that used. What is asked: beside.

Keys come from the environment, by the names that each provider gives them, and nobody else is spoken to.
"""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

import msgspec
from msgspec import Struct

from shoal.errors import ModelError, ModelUnreachable, NotConfigured, ShoalError
from shoal.model.cost import Usage

if TYPE_CHECKING:
    import httpx2
    from pydantic_ai.messages import ModelMessage
    from pydantic_ai.models import Model as Client
    from pydantic_ai.providers import Provider

T = TypeVar("T", bound=Struct)
DEFAULT = "anthropic:claude-haiku-4-5"
RETRIES = 2  # after an answer that does not fit
MOST_OUTPUT_TOKENS = 8000
TIMEOUT_SECONDS = 120.0  # of one request
NUL = "\x00"


class Reply(Struct, Generic[T], frozen=True, kw_only=True):
    """What came of a question: a value, or an error; and each call that was made, for it was paid for either way.

    A call of which nobody knows what it used, as it was broken off, is there without tokens. `stopped` says that Ctrl-C
    ended it: who asked keeps the calls, and ends then, too.
    """

    value: T | None
    error: ShoalError | None
    calls: list[Usage]
    stopped: bool = False

    @property
    def is_hopeless(self) -> bool:
        """Whether the next question would fail as well: something is not set up."""
        return isinstance(self.error, NotConfigured)


def provider_of(name: str) -> str:
    """Whose model it is, as price lists call them."""
    return name.partition(":")[0].partition("-")[0] if ":" in name else "unknown"


def most_used(name: str, system: str, prompt: str) -> list[Usage]:
    """No fewer tokens than a question may use, call by call: for who must not spend more than he has.

    It supposes two bytes of text a token, and that each answer is as long as may be, and does not fit until the last.
    """
    asked = (len(system.encode()) + len(prompt.encode())) // 2 + 2000
    return [
        Usage(
            request_key="most",
            provider=provider_of(name),
            model=name.partition(":")[2] or name,
            input_tokens=asked + number * (MOST_OUTPUT_TOKENS + 500),
            output_tokens=MOST_OUTPUT_TOKENS,
        )
        for number in range(RETRIES + 1)
    ]


class Model:
    """A model by its name, `provider:model`. To be used in a `with`, and from one thread."""

    def __init__(
        self, name: str | None = None, *, base_url: str | None = None, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> None:
        """Get ready; nothing is sent. Raises NotConfigured where the extra, the key or the model's name is missing."""
        self.name = name or DEFAULT
        self._timeout = timeout_seconds
        try:
            import httpx2
            import pydantic_ai
        except ImportError:
            raise NotConfigured(
                "asking a model needs the extra llm: pip install 'shoal[llm]'; `shoal scope --by-hand` needs none"
            ) from None
        pydantic_ai.BANNER_ENABLED = False  # it would be written into whatever is shown
        self._runner = asyncio.Runner()
        self._http = httpx2.AsyncClient(timeout=timeout_seconds, follow_redirects=False)
        try:
            self._client = _client(self.name, base_url, self._http)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of connections."""
        self._runner.run(self._http.aclose())
        self._runner.close()

    def ask(
        self, schema: type[T], system: str, prompt: str, *, check: Callable[[T], str | None] | None = None
    ) -> Reply[T]:
        """Ask, and ask again when the answer does not fit the schema or `check` says what is wrong with it.

        Ctrl-C ends the call, and the reply says so.
        """
        wrong: list[str] = []
        agent = _agent(self._client, schema, system, check, wrong)
        return self._runner.run(self._ask(agent, prompt, wrong))

    async def _ask(self, agent: Any, prompt: str, wrong: list[str]) -> Reply[Any]:
        import httpx2
        from pydantic_ai import capture_run_messages
        from pydantic_ai.exceptions import AgentRunError, UserError
        from pydantic_ai.messages import ModelRequest

        settings = {"max_tokens": MOST_OUTPUT_TOKENS, "timeout": self._timeout}
        value = None
        error: ShoalError | None = None
        stopped = answered = False
        with capture_run_messages() as messages:
            try:
                run = await agent.run(prompt, model_settings=settings, timeout=self._timeout * (RETRIES + 1))
                value, answered = run.output, True
            except asyncio.CancelledError:  # the runner's answer to Ctrl-C
                error, stopped = ModelError("you stopped it"), True
            except (AgentRunError, UserError, httpx2.HTTPError, UnicodeError) as failed:
                error, answered = _error(self.name, failed, wrong), _was_refused(failed)
        calls = self._calls(messages)
        # After the last try there is one more request among the messages, which nobody sends.
        if not answered and len(calls) <= RETRIES and messages and isinstance(messages[-1], ModelRequest):
            calls.append(self._call(None, self._client.model_name))
        return Reply(value=value, error=error, calls=calls, stopped=stopped)

    def _calls(self, messages: list[ModelMessage]) -> list[Usage]:
        from pydantic_ai.messages import ModelResponse

        calls = []
        for one in messages:
            if isinstance(one, ModelResponse):
                used = one.usage
                cached = used.cache_read_tokens + used.cache_write_tokens
                calls.append(
                    self._call(
                        one.provider_response_id,
                        one.model_name or self._client.model_name,
                        input_tokens=max(used.input_tokens - cached, 0),
                        output_tokens=used.output_tokens,
                        cache_read_tokens=used.cache_read_tokens,
                        cache_write_tokens=used.cache_write_tokens,
                    )
                )
        return calls

    def _call(self, response: str | None, model: str, **tokens: int) -> Usage:
        # Some servers give every answer the same id, or one of a thousand: alone it would hide calls.
        key = f"{(response or 'call')[:150]}-{uuid.uuid4().hex[:12]}"
        return Usage(request_key=key, provider=provider_of(self.name), model=model[:200], **tokens)


def _client(name: str, base_url: str | None, http: httpx2.AsyncClient) -> Client:
    from pydantic_ai.exceptions import UserError
    from pydantic_ai.models import infer_model
    from pydantic_ai.providers import infer_provider_class

    def provider(of: str) -> Provider[Any]:
        given: dict[str, Any] = {"http_client": http}
        if base_url is not None:
            given["base_url"] = base_url
            if of == "anthropic" and not os.environ.get("ANTHROPIC_API_KEY"):
                given["api_key"] = "none"  # a compatible endpoint may need none
        return infer_provider_class(of)(**given)

    how = "set `model` in [backlog] of shoal.toml, as anthropic:claude-haiku-4-5 or openai:gpt-5-mini"
    try:
        return infer_model(name, provider)
    except TypeError:
        raise NotConfigured(f"models of {name.partition(':')[0]!r} have no address that can be set; {how}") from None
    except ImportError as error:
        raise NotConfigured(f"the model {name} needs a package that is not here: {_short(error)}; {how}") from None
    except (UserError, ValueError) as error:
        if "API_KEY" in str(error) or "environment variable" in str(error):
            wanted = next((word for word in str(error).replace("`", " ").split() if word.endswith("_KEY")), "its key")
            raise NotConfigured(
                f"there is no key for {name}: set {wanted} in the environment; `shoal scope --by-hand` needs none"
            ) from None
        raise NotConfigured(f"there is no model {name!r} ({_short(error)}); {how}") from None


def _agent(
    client: Client, schema: type[T], system: str, check: Callable[[T], str | None] | None, wrong: list[str]
) -> Any:
    from pydantic_ai import Agent, ModelRetry, StructuredDict

    agent: Any = Agent(
        client,
        output_type=StructuredDict(_json_schema(schema), name="answer"),
        instructions=system,
        retries=RETRIES,
    )

    def convert(given: dict[str, Any]) -> T:
        try:
            value = msgspec.convert(_clean(given), schema, strict=False)
        except msgspec.ValidationError as error:
            wrong.append(f"{error}; answer again, with all fields as the schema has them")
            raise ModelRetry(wrong[-1]) from None
        if check is not None and (said := check(value)) is not None:
            wrong.append(said)
            raise ModelRetry(said)
        return value

    agent.output_validator(convert)
    return agent


def _json_schema(schema: type[Struct]) -> dict[str, Any]:
    [own], others = msgspec.json.schema_components([schema], ref_template="#/$defs/{name}")
    found: dict[str, Any] = others.pop(own["$ref"].rpartition("/")[2])
    plain: dict[str, Any] = _without_patterns(found | ({"$defs": others} if others else {}))
    return plain


def _without_patterns(schema: Any) -> Any:
    """Not every provider knows our patterns' words; the answer is held against them here."""
    if isinstance(schema, dict):
        kept = {name: value for name, value in schema.items() if name != "pattern" or not isinstance(value, str)}
        return {name: _without_patterns(value) for name, value in kept.items()}
    return [*map(_without_patterns, schema)] if isinstance(schema, list) else schema


def _clean(given: Any) -> Any:
    """What databases do not store is left out of every text, and spaces around it."""
    if isinstance(given, str):
        return given.replace(NUL, "").encode(errors="ignore").decode().strip()  # half a surrogate pair is no UTF-8
    if isinstance(given, dict):
        return {name: _clean(value) for name, value in given.items()}
    return [*map(_clean, given)] if isinstance(given, list) else given


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and what it came of."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _was_refused(error: Exception) -> bool:
    """Whether the last request certainly used nothing: it was not sent, or the provider would not have it."""
    import httpx2
    from pydantic_ai.exceptions import ModelHTTPError, UserError

    nothing = (ModelHTTPError, UserError, httpx2.ConnectError, httpx2.ConnectTimeout, UnicodeError)
    return any(isinstance(one, nothing) for one in _causes(error))


def _error(name: str, error: Exception, wrong: list[str]) -> ShoalError:
    """What went wrong, and what can be done about it."""
    import httpx2
    from pydantic_ai import exceptions as they

    said = _short(error)
    # However it is wrapped: a provider that falls silent in the middle of an answer has not answered badly.
    silent = any(isinstance(one, TimeoutError | httpx2.TimeoutException) for one in _causes(error))
    match error:
        case they.ModelAuthenticationError():
            return NotConfigured(f"{name} refuses the key ({said}); look at the key in the environment")
        case they.ModelNotFoundError():
            return NotConfigured(f"there is no model {name} ({said}); set `model` in [backlog] of shoal.toml")
        case they.ModelQuotaExceededError():
            return NotConfigured(f"the account of {name} has nothing left ({said}); look at its billing")
        case they.ModelContextWindowExceededError():
            return ModelError(f"that is too long for {name} ({said}); lower `context_tokens` in [backlog]")
        case they.ModelRateLimitError() | they.ModelUnavailableError() | they.ModelServerError():
            return ModelUnreachable(f"{name} cannot answer now ({said}); try again later")
        case _ if silent or isinstance(error, they.RunTimedOut | they.ModelTimeoutError | they.ModelRequestTimeout):
            return ModelUnreachable(f"{name} did not answer in time ({said}); try again later")
        case they.ModelConnectionError() | httpx2.HTTPError():
            return ModelUnreachable(
                f"{name} cannot be reached ({said}); look at `base_url` in [backlog], and the network"
            )
        case UnicodeError():  # what it said is sent along when it is asked again
            return ModelError(f"{name} gave no answer that fits (no valid Unicode); try another model: `--model`")
        case they.OutputTokenLimitExceeded():
            return ModelError(f"{name} said more than {MOST_OUTPUT_TOKENS:,} tokens without coming to an end")
        case they.UnexpectedModelBehavior():
            return ModelError(
                f"{name} gave no answer that fits ({(wrong or [said])[-1][:300]}); try another model: `--model`"
            )
        case _:
            return ModelError(f"{name} refused ({said})")


def _short(error: Exception) -> str:
    """The words of an error on one line; a provider may give back a part of what it was sent, so not many of them."""
    body = getattr(error, "body", None)
    inner = body.get("error") if isinstance(body, dict) else None
    said = inner.get("message") if isinstance(inner, dict) else None
    status = getattr(error, "status_code", None)
    text = f"{status}: {said}" if status and said else str(error.__cause__ or error) if not str(error) else str(error)
    return " ".join(text.split())[:300] or type(error).__name__
