/** Small parts that others are made of. */
import type { ComponentChildren } from "preact"
import { useLayoutEffect, useRef, useState } from "preact/hooks"

export const Section = (
  { aside, children, name, title }: {
    readonly title: string
    readonly name: string
    readonly aside?: ComponentChildren
    readonly children: ComponentChildren
  }
) => (
  <section class={`section ${name}`} aria-labelledby={`${name}-title`}>
    <header class="section-header">
      <h2 id={`${name}-title`}>{title}</h2>
      {aside !== undefined && <div class="aside">{aside}</div>}
    </header>
    {children}
  </section>
)

/** The width of an element, in px. */
export const useWidth = () => {
  const ref = useRef<HTMLDivElement>(null)
  const [width, setWidth] = useState(0)
  useLayoutEffect(() => {
    const element = ref.current
    if (element === null) return
    setWidth(element.clientWidth)
    const observer = new ResizeObserver(() => setWidth(element.clientWidth))
    observer.observe(element)
    return () => observer.disconnect()
  }, [])
  return [ref, width] as const
}

export const NumberField = (
  { label, least, most, onChange, scale = 1, unit, value }: {
    readonly label: string
    readonly value: number
    readonly least: number
    readonly most: number
    /** The value is shown divided by this. */
    readonly scale?: number
    readonly unit?: string
    readonly onChange: (value: number) => void
  }
) => (
  <label class="field">
    <span>{label}</span>
    <span class="input">
      <input
        type="number"
        inputMode="decimal"
        min={least / scale}
        max={most / scale}
        step={scale === 1 ? 1 : 0.1}
        value={value / scale}
        onChange={({ currentTarget }) => {
          const entered = Math.round(currentTarget.valueAsNumber * scale)
          const sound = Number.isNaN(entered) ? value : Math.min(most, Math.max(least, entered))
          currentTarget.value = String(sound / scale)
          if (sound !== value) onChange(sound)
        }}
      />
      {unit !== undefined && <span class="unit">{unit}</span>}
    </span>
  </label>
)

export const Choice = <A extends string>(
  { label, names, onChange, value, values }: {
    readonly label: string
    readonly value: A
    readonly values: ReadonlyArray<A>
    readonly names?: Partial<Record<A, string>>
    readonly onChange: (value: A) => void
  }
) => (
  <label class="field">
    <span>{label}</span>
    <select
      value={value}
      onChange={({ currentTarget }) => {
        const chosen = values.find((value) => value === currentTarget.value)
        if (chosen !== undefined) onChange(chosen)
      }}
    >
      {values.map((value) => <option key={value} value={value}>{names?.[value] ?? value}</option>)}
    </select>
  </label>
)
