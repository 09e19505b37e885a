"""Build an application on real FastAPI from one recorded scope case, behind a guard or not, and run it."""

import dataclasses
import functools
import json
from typing import Annotated, Any, Optional

import fastapi
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Security, WebSocket
from fastapi.security import (
    APIKeyHeader,
    HTTPBearer,
    OAuth2,
    OAuth2AuthorizationCodeBearer,
    OAuth2PasswordBearer,
    OpenIdConnect,
    SecurityScopes,
)
from fastapi.testclient import TestClient
from starlette.requests import HTTPConnection
from starlette.testclient import WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect


class SubScopes(SecurityScopes):
    pass


def plain(v):
    if hasattr(v, "_value"):
        return v._value
    if hasattr(v, "credentials"):
        return v.credentials
    return v


class Builder:
    def __init__(self, case: dict, prepare=None, caller=None):
        """prepare(app) is called on the new application; caller is a dependency that every node takes as well."""
        self.case = case
        self.prepare = prepare
        self.caller = caller
        self.log: list = []
        self.n: dict[str, int] = {}
        self.objs: dict[str, Any] = {}
        self.classes: dict[str, Any] = {}

    # -- nodes -------------------------------------------------------
    def edge(self, e: dict):
        target = self.node(e["node"])
        kw: dict[str, Any] = {}
        if e.get("use_cache") is False:
            kw["use_cache"] = False
        if e.get("scope"):
            kw["scope"] = e["scope"]
        if e.get("infer"):
            target = None
        if e.get("via", "Depends") == "Security":
            if "scopes" in e:
                s = e["scopes"]
                as_ = e.get("scopes_as", "list")
                if as_ == "tuple":
                    s = tuple(s)
                elif as_ == "set":
                    s = set(s)
                elif as_ == "generator":
                    s = (x for x in list(s))
                kw["scopes"] = s
            return Security(target, **kw)
        return Depends(target, **kw)

    def _record(self, name: str, ss, deps: dict, event="call"):
        self.n[name] = self.n.get(name, 0) + 1
        scopes = list(ss.scopes) if ss is not None else None
        self.log.append([event, name, scopes])
        spec = self.case["nodes"].get(name, {})
        need = spec.get("require_seen")
        if need is not None and any(x not in (scopes or []) for x in need):
            raise HTTPException(401, "required scope not among the scopes seen")
        if spec.get("raises"):
            raise HTTPException(
                spec["raises"],
                f"raised by {name}",
                headers={"WWW-Authenticate": "Bearer"} if spec["raises"] == 401 else None,
            )
        out = {"node": name, "n": self.n[name]}
        if ss is not None:
            out["scopes"] = scopes
            out["scope_str"] = ss.scope_str
        d = {k: plain(v) for k, v in deps.items()}
        if d:
            out["deps"] = d
        return out

    def signature_src(self, spec: dict, ns: dict, lead: list[str] | None = None):
        params = list(lead or [])
        tail = []
        ann = spec.get("scopes_annotation", "SecurityScopes")
        if spec.get("scopes_param"):
            params.append(f"ss: {ann}")
            if spec.get("second_scopes_param"):
                params.append("ss2: SecurityScopes")
        names = []
        seen: dict[str, int] = {}
        for i, e in enumerate(spec.get("deps", [])):
            nm = e.get("name") or e["node"]
            if nm in seen:
                seen[nm] += 1
                nm = f"{nm}_{seen[nm]}"
            else:
                seen[nm] = 1
            names.append(nm)
            key = f"E{i}_{nm}"
            ns[key] = self.edge(e)
            if e.get("infer"):
                ns["T" + key] = self.node(e["node"])
                params.append(f"{nm}: Annotated[T{key}, {key}]")
            elif e.get("style") == "annotated":
                params.append(f"{nm}: Annotated[Any, {key}]")
            else:
                tail.append(f"{nm}: Any = {key}")
        if self.caller is not None:
            ns["CALLER"] = self.caller
            tail.append("the_caller: Any = CALLER")
        for p in spec.get("params", []):
            params.append(f"{p['name']}: {p.get('type', 'str')}")
            names.append(p["name"])
        return ", ".join(params + tail), names

    def node(self, name: str):
        if name in self.objs:
            return self.objs[name]
        spec = self.case["nodes"][name]
        form = spec.get("form", "def")
        if form == "scheme":
            self.objs[name] = self.scheme(name, spec)
            return self.objs[name]
        if form == "alias":
            # a second object made from the same class or function as another node
            self.node(spec["of"])
            obj = self.remake(name, spec)
            self.objs[name] = obj
            return obj
        ns: dict[str, Any] = {
            "SecurityScopes": SecurityScopes,
            "SubScopes": SubScopes,
            "Optional": Optional,
            "Annotated": Annotated,
            "Any": Any,
            "rec": self._record,
            "log": self.log,
            "functools": functools,
            "dataclasses": dataclasses,
        }
        methodish = form in (
            "class",
            "instance",
            "async_instance",
            "gen_instance",
            "agen_instance",
            "method",
            "async_method",
            "frozen_instance",
            "unhashable_instance",
        )
        lead = ["self"] if methodish else []
        if form in ("partial", "async_partial", "partial_kw"):
            lead = ["bound: str"]
        sig, names = self.signature_src(spec, ns, lead)
        ss = "ss" if spec.get("scopes_param") else "None"
        dd = (
            "{"
            + ", ".join(f"{n!r}: {n}" for n in names)
            + (
                ""
                if form not in ("partial", "async_partial", "partial_kw")
                else (", " if names else "") + "'bound': bound"
            )
            + "}"
        )
        body = f"rec({name!r}, {ss}, {dd})"
        a = "async " if form in ("async", "agen", "async_partial") else ""
        if form in ("def", "async"):
            src = f"{a}def f({sig}):\n    return {body}\nobj = f\n"
        elif form in ("gen", "agen"):
            src = f"{a}def f({sig}):\n    v = {body}\n    try:\n        yield v\n    finally:\n        log.append(['exit', {name!r}, {ss}.scopes if {ss} is not None else None])\nobj = f\n"
        elif form == "class":
            src = f"class C:\n    def __init__({sig}):\n        self._value = {body}\nobj = C\n"
        elif form in ("instance", "async_instance", "gen_instance", "agen_instance"):
            a = "async " if form in ("async_instance", "agen_instance") else ""
            if "gen" in form:
                src = f"class C:\n    {a}def __call__({sig}):\n        v = {body}\n        try:\n            yield v\n        finally:\n            log.append(['exit', {name!r}, {ss}.scopes if {ss} is not None else None])\nobj = C()\n"
            else:
                src = f"class C:\n    {a}def __call__({sig}):\n        return {body}\nobj = C()\n"
        elif form in ("method", "async_method"):
            a = "async " if form == "async_method" else ""
            src = f"class C:\n    {a}def m({sig}):\n        return {body}\ninst = C()\nobj = inst.m\n"
        elif form in ("frozen_instance", "unhashable_instance"):
            fr = "frozen=True" if form == "frozen_instance" else "frozen=False"
            src = f"@dataclasses.dataclass({fr})\nclass C:\n    key: str\n    def __call__({sig}):\n        return {body}\nobj = C({spec.get('key', 'k')!r})\n"
        elif form in ("partial", "async_partial"):
            src = f"{a}def f({sig}):\n    return {body}\nobj = functools.partial(f, 'bound-value')\n"
        elif form == "partial_kw":
            src = f"def f({sig}):\n    return {body}\nobj = functools.partial(f, bound='bound-value')\n"
        elif form == "wrapped":
            src = f"def f({sig}):\n    return {body}\n@functools.wraps(f)\ndef w(*args, **kwargs):\n    return f(*args, **kwargs)\nobj = w\n"
        elif form == "wrapped_async":
            src = f"async def f({sig}):\n    return {body}\n@functools.wraps(f)\ndef w(*args, **kwargs):\n    return f(*args, **kwargs)\nobj = w\n"
        elif form == "returns_coroutine":
            src = f"def w({sig}):\n    async def f():\n        return {body}\n    return f()\nobj = w\n"
        elif form == "staticmethod":
            src = f"class C:\n    @staticmethod\n    async def m({sig}):\n        return {body}\nobj = C.m\n"
        elif form == "classmethod":
            src = f"class C:\n    @classmethod\n    async def m({'cls, ' + sig if sig else 'cls'}):\n        return {body}\nobj = C.m\n"
        elif form == "wrapped_no_wraps":
            src = f"def f({sig}):\n    return {body}\ndef w(*args, **kwargs):\n    return f(*args, **kwargs)\nobj = w\n"
        else:
            raise ValueError(form)
        exec(compile(src, f"<node {name}>", "exec", dont_inherit=True), ns)
        self.classes[name] = ns
        self.objs[name] = ns["obj"]
        return ns["obj"]

    def remake(self, name, spec):
        ns = self.classes[spec["of"]]
        how = spec["how"]
        if how == "instance":  # dataclass with the given key, logs under the name of the original
            return ns["C"](spec["key"])
        if how == "partial":
            return functools.partial(ns["f"], "bound-value")
        if how == "same_method":
            return ns["inst"].m
        if how == "other_method":
            return ns["C"]().m
        raise ValueError(how)

    def scheme(self, name, spec):
        kind = spec["kind"]
        builder = self
        kw: dict[str, Any] = {"auto_error": spec.get("auto_error", True)}
        if spec.get("scheme_name"):
            kw["scheme_name"] = spec["scheme_name"]
        base, args = {
            "password": (OAuth2PasswordBearer, {"tokenUrl": "token"}),
            "authorizationCode": (
                OAuth2AuthorizationCodeBearer,
                {"authorizationUrl": "authorize", "tokenUrl": "token"},
            ),
            "http_bearer": (HTTPBearer, {}),
            "api_key_header": (APIKeyHeader, {"name": "X-Key"}),
            "oauth2": (OAuth2, {"flows": {"password": {"tokenUrl": "token", "scopes": spec.get("scopes", {})}}}),
            "openid": (OpenIdConnect, {"openIdConnectUrl": "/openid"}),
        }[kind]
        if kind in ("password", "authorizationCode"):
            args = {**args, "scopes": spec.get("scopes", {})}
        if "scheme_name" not in kw:
            kw["scheme_name"] = base.__name__

        class Logged(base):
            async def __call__(self, request: HTTPConnection):
                builder.n[name] = builder.n.get(name, 0) + 1
                builder.log.append(["call", name, None])
                return await super().__call__(request)

        return Logged(**args, **kw)

    # -- app ---------------------------------------------------------
    def build(self):
        c = self.case
        kw = {}
        if c.get("app_dependencies"):
            kw["dependencies"] = [self.edge(e) for e in c["app_dependencies"]]
        app = FastAPI(**kw)
        self.app = app
        if self.prepare is not None:
            self.prepare(app)
        ns: dict[str, Any] = {
            "SecurityScopes": SecurityScopes,
            "Annotated": Annotated,
            "Any": Any,
            "plain": plain,
            "WebSocket": WebSocket,
            "log": self.log,
            "Body": fastapi.Body,
        }
        ep = c.get("endpoint", {})
        ws = c.get("kind") == "websocket"
        sig, names = self.signature_src(ep, ns, ["websocket: WebSocket"] if ws else [])
        if ep.get("body"):
            sig = "body: Annotated[dict, Body()]" + (", " + sig if sig else "")
        dd = "{" + ", ".join(f"{n!r}: plain({n})" for n in names) + "}"
        extra = ", 'scopes': ss.scopes" if ep.get("scopes_param") else ""
        if ws:
            src = f"async def endpoint({sig}):\n    log.append(['endpoint', 'endpoint', None])\n    await websocket.accept()\n    await websocket.send_json({{'values': {dd}{extra}}})\n    await websocket.close()\n"
        else:
            src = f"def endpoint({sig}):\n    log.append(['endpoint', 'endpoint', None])\n    return {{'values': {dd}{extra}}}\n"
        exec(compile(src, "<endpoint>", "exec", dont_inherit=True), ns)
        endpoint = ns["endpoint"]
        rdeps = [self.edge(e) for e in c.get("route_dependencies", [])]
        routers = [
            APIRouter(dependencies=[self.edge(e) for e in r.get("dependencies", [])]) for r in c.get("routers", [])
        ]
        target = routers[-1] if routers else app
        if c.get("mount"):
            sub = FastAPI()
            target = sub
        method = c.get("request", {}).get("method", "GET").lower()
        if ws:
            target.websocket("/x", dependencies=rdeps)(endpoint)
        else:
            getattr(target, method)("/x", dependencies=rdeps)(endpoint)
        for i in range(len(routers) - 1, -1, -1):
            parent = routers[i - 1] if i else app
            parent.include_router(
                routers[i], dependencies=[self.edge(e) for e in c["routers"][i].get("include_dependencies", [])]
            )
        if c.get("mount"):
            app.mount("/sub", sub)
        for a, b in c.get("overrides", {}).items():
            app.dependency_overrides[self.node(a)] = self.node(b)
        return app

    def run(self) -> dict:
        c = self.case
        try:
            app = self.build()
        except Exception as exc:  # noqa: BLE001
            return {"build_error": f"{type(exc).__name__}: {str(exc).splitlines()[0][:160] if str(exc) else ''}"}
        out: dict[str, Any] = {}
        req = c.get("request", {})
        path = ("/sub" if c.get("mount") else "") + "/x"
        headers = [(k.encode(), v.encode("latin-1")) for k, v in (req.get("headers") or [])]
        client = TestClient(app, raise_server_exceptions=False)
        results = []
        for _ in range(c.get("requests", 1)):
            if c.get("kind") == "websocket":
                r: dict[str, Any] = {}
                try:
                    with client.websocket_connect(path, headers=dict(req.get("headers") or [])) as wsx:
                        r["accepted"] = True
                        r["body"] = wsx.receive_json()
                except WebSocketDenialResponse as d:
                    r["accepted"] = False
                    r["denial_status"] = d.status_code
                    r["denial_body"] = d.json() if d.content else None
                except WebSocketDisconnect as d:
                    r["accepted"] = False
                    r["close_code"] = d.code
                    r["close_reason"] = d.reason
                except Exception as exc:  # noqa: BLE001
                    r["exception"] = type(exc).__name__
                results.append(r)
            else:
                kw: dict[str, Any] = {"headers": headers}
                if "query" in req:
                    kw["params"] = req["query"]
                if "content" in req:
                    kw["content"] = req["content"]
                    headers.append((b"content-type", b"application/json"))
                resp = client.request(req.get("method", "GET"), path, **kw)
                r = {"status": resp.status_code}
                try:
                    r["body"] = resp.json()
                except Exception:  # noqa: BLE001
                    r["body"] = resp.text
                if "www-authenticate" in resp.headers:
                    r["www_authenticate"] = resp.headers["www-authenticate"]
                results.append(r)
        out["results"] = results
        out["log"] = [list(x) for x in self.log]
        out["calls"] = dict(sorted(self.n.items()))
        if c.get("kind") != "websocket":
            try:
                spec = (app).openapi()
                op = spec["paths"].get("/x", {}).get(req.get("method", "GET").lower())
                out["openapi_security"] = op.get("security") if op else None
                comp = spec.get("components", {}).get("securitySchemes")
                if comp:
                    out["openapi_scheme_scopes"] = {
                        k: {fk: list(fv.get("scopes", {})) for fk, fv in v.get("flows", {}).items()}
                        if "flows" in v
                        else v.get("type")
                        for k, v in comp.items()
                    }
                if op and op.get("parameters"):
                    out["openapi_parameters"] = [
                        f"{p['in']}:{p['name']}{'!' if p.get('required') else ''}" for p in op["parameters"]
                    ]
            except Exception as exc:  # noqa: BLE001
                out["openapi_error"] = f"{type(exc).__name__}: {str(exc)[:160]}"
        return json.loads(json.dumps(out))


def run_case(case: dict, **options) -> dict:
    return Builder(case, **options).run()
