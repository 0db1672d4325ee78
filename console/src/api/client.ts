import createClient from "openapi-fetch";
import type { components as AnalyticsParts, paths as AnalyticsPaths } from "./generated/analytics-service";
import type { components as InventoryParts, paths as InventoryPaths } from "./generated/inventory-service";
import type { components as OrderParts, paths as OrderPaths } from "./generated/order-service";
import { Problem, problemFrom } from "./problem";
import { ACTING } from "./session";

export type AnalyticsSchemas = AnalyticsParts["schemas"];
export type OrderSchemas = OrderParts["schemas"];
export type InventorySchemas = InventoryParts["schemas"];

/** The services. Each keeps its consumers, dead letters and jobs behind the same routes. */
export const SERVICES = ["order-service", "inventory-service", "analytics-service"] as const;
export type Service = (typeof SERVICES)[number];

export const analyticsService = createClient<AnalyticsPaths>(options("analytics-service"));
export const orderService = createClient<OrderPaths>(options("order-service"));
export const inventoryService = createClient<InventoryPaths>(options("inventory-service"));

// The routes of the chassis are the same in each service, so the types of one service describe them all.
const OPS = Object.fromEntries(SERVICES.map((each) => [each, createClient<OrderPaths>(options(each))])) as Record<
  Service,
  typeof orderService
>;

/** Return the client of a service for the routes that all services have. */
export function opsOf(service: Service): typeof orderService {
  return OPS[service];
}

/** Return the address of a service, as analytics-service passes calls on with the person's token. */
export function base(service: string): string {
  return `/api/${service}`;
}

function options(service: Service) {
  return { baseUrl: base(service), headers: ACTING };
}

interface Answered<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** Return the data of an answer. Throw a Problem if the service refused, failed or did not answer. */
export async function read<T>(call: Promise<Answered<T>>): Promise<T> {
  let answer: Answered<T>;
  try {
    answer = await call;
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Problem(0, "", undefined, undefined);
  }
  if (!answer.response.ok || answer.data === undefined) throw problemFrom(answer.response.status, answer.error);
  return answer.data;
}
