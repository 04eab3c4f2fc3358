/** A sentence of the service: its English, its code and parameters, and the faults of a refused body. */
export type Message = {
  message: string;
  code: string;
  params?: Record<string, unknown>;
  faults?: { message?: string; code?: string; params?: Record<string, unknown> }[];
};
