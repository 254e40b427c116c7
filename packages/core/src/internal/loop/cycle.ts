import type * as Cause from "effect/Cause"
import type * as Equivalence from "effect/Equivalence"
import * as Option from "effect/Option"

/**
 * What one cycle remembers between its attempts.
 *
 * @internal
 */
export class Cycle<Address, E> {
  /** The number of the attempt under way, or of the last one, from 1; 0 before the first. */
  attempt = 0
  private address: Option.Option<Address> = Option.none()
  private cause: Option.Option<Cause.Cause<E>> = Option.none()

  constructor(
    private readonly addressEquivalence: Equivalence.Equivalence<Address>,
    private readonly causeEquivalence: Equivalence.Equivalence<Cause.Cause<E>>
  ) {}

  /** Is it another address than the previous one (C4)? */
  isNewAddress(address: Address): boolean {
    const { address: previous } = this
    this.address = Option.some(address)
    try {
      return !Option.exists(previous, (previous) => this.addressEquivalence(previous, address))
    } catch {
      // D10: if the equivalence throws, the address counts as new.
      return true
    }
  }

  /** Does it differ from the previous failure (C5)? */
  isNewCause(cause: Cause.Cause<E>): boolean {
    const { cause: previous } = this
    this.cause = Option.some(cause)
    return !Option.exists(previous, (previous) => this.causeEquivalence(previous, cause))
  }
}
