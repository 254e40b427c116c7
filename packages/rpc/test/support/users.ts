/** A group with classes, middleware, defects and a stream with backpressure, and its handlers. */
import * as Headers from "@effect/platform/Headers"
import * as Rpc from "@effect/rpc/Rpc"
import * as RpcGroup from "@effect/rpc/RpcGroup"
import * as RpcMiddleware from "@effect/rpc/RpcMiddleware"
import * as RpcServer from "@effect/rpc/RpcServer"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"

export class User extends Schema.Class<User>("User")({ id: Schema.String, name: Schema.String }) {}

export class Unauthorized extends Schema.TaggedError<Unauthorized>()("Unauthorized", { id: Schema.String }) {}

class CurrentUser extends Context.Tag("test/CurrentUser")<CurrentUser, User>() {}

/** Takes the user from the headers; refuses the user with the id `nobody`. */
class Authentication extends RpcMiddleware.Tag<Authentication>()("Authentication", {
  provides: CurrentUser,
  failure: Unauthorized,
  requiredForClient: true
}) {}

/** Counts calls. */
class Timing extends RpcMiddleware.Tag<Timing>()("Timing", { wrap: true }) {}

export class Users extends RpcGroup.make(
  Rpc.make("Me", { success: User }),
  Rpc.make("Find", { payload: { id: Schema.String }, success: Schema.Option(User) }),
  Rpc.make("Follow", { payload: { id: Schema.String }, success: User, stream: true }),
  Rpc.make("Refuse", { payload: { id: Schema.String }, success: User, error: Unauthorized, stream: true }),
  Rpc.make("Timed", { payload: { fails: Schema.Boolean }, success: Schema.Number }).middleware(Timing),
  Rpc.make("DieWithText"),
  Rpc.make("DieWithError"),
  Rpc.make("DieCustom", { defect: Schema.Unknown })
).middleware(Authentication) {}

/** What the handlers have done. */
export class Journal {
  /** How many elements `Follow` has been asked for. */
  emitted = 0
  interrupted = 0
  timed = { started: 0, succeeded: 0, died: 0 }
}

/** A defect that only `Schema.Unknown` retains. */
export const custom = { message: "custom", code: 42 }

export const service = (journal: Journal, disableFatalDefects = false) =>
  RpcServer.layer(Users, { disableTracing: true, disableFatalDefects }).pipe(Layer.provide([
    Users.toLayer({
      Me: () => CurrentUser,
      Find: ({ id }) => Effect.succeed(id === "none" ? Option.none() : Option.some(new User({ id, name: "found" }))),
      Follow: ({ id }) =>
        Stream.repeatEffect(Effect.sync(() => new User({ id, name: String(++journal.emitted) }))).pipe(
          Stream.rechunk(1),
          Stream.ensuring(Effect.sync(() => journal.interrupted++))
        ),
      Refuse: ({ id }) => Stream.concat(Stream.make(new User({ id, name: "one" })), new Unauthorized({ id })),
      Timed: ({ fails }) => fails ? Effect.die("failed") : Effect.succeed(1),
      DieWithText: () => Effect.die("text"),
      DieWithError: () => Effect.die(new Error("an error")),
      DieCustom: () => Effect.die(custom)
    }),
    Layer.succeed(Authentication, ({ headers }) => {
      const user = new User({ id: headers["userid"] ?? "1", name: headers["name"] ?? "unknown" })
      return user.id === "nobody" ? new Unauthorized({ id: user.id }) : Effect.succeed(user)
    }),
    Layer.succeed(Timing, ({ next }) => {
      journal.timed.started++
      return next.pipe(
        Effect.tap(() => journal.timed.succeeded++),
        Effect.tapDefect(() => Effect.sync(() => journal.timed.died++))
      )
    })
  ]))

/** The middleware of the clients: it adds the name of the user. */
export const authentication = RpcMiddleware.layerClient(
  Authentication,
  ({ request }) => Effect.succeed({ ...request, headers: Headers.set(request.headers, "name", "from the client") })
)
